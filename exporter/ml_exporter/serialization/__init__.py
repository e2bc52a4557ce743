"""Values as bytes, and bytes as values: JSON, MessagePack, and dataclasses of either."""
