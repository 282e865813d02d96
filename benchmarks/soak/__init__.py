"""Hundreds of connections in bad weather, for as long as wished."""
