"""The Grafana dashboards, built with Grafana's own types; the exporter never imports this."""
