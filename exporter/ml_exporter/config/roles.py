"""Roles, and the part of the configuration that grants them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from ml_exporter.config.yaml_nodes import Node

UserRole = Literal["scrape", "ingest", "admin"]

KEYS = {"access": ("tokens", "users"), "token": ("token", "roles")}


@dataclass(frozen=True)
class Token:
    """A bearer token with what it may do."""

    token: str = field(repr=False)
    roles: frozenset[UserRole]


@dataclass(frozen=True)
class Access:
    """Who may do what; passwords are in the web configuration file."""

    tokens: tuple[Token, ...] = ()
    users: Mapping[str, frozenset[UserRole]] = field(default_factory=dict)


def read_access(node: Node) -> Access:
    section = node.mapping()
    section.check_keys(KEYS["access"])
    return Access(
        tokens=section.read("tokens", lambda node: tuple(map(_token, node.items())), ()),
        users=section.read("users", _users, {}),
    )


def _token(node: Node) -> Token:
    section = node.mapping()
    section.check_keys(KEYS["token"])
    token = section.require("token")
    text = token.text()
    if not all("!" <= character <= "~" for character in text):
        token.error("must be visible ASCII, or no request can carry it")
    return Token(text, _roles(section.require("roles")))


def _users(node: Node) -> Mapping[str, frozenset[UserRole]]:
    users: dict[str, frozenset[UserRole]] = {}
    for key, roles in node.mapping():
        name = key.text()
        if ":" in name:
            key.error("must not contain a colon, which ends the name in basic authentication")
        users[name] = _roles(roles)
    return users


def _roles(node: Node) -> frozenset[UserRole]:
    items = node.items()
    if not items and node.kind == "a list":
        node.error(f"must name at least one of {', '.join(get_args(UserRole))}")
    roles = [item.choice(get_args(UserRole)) for item in items]
    return frozenset(role for role in roles if role is not None)
