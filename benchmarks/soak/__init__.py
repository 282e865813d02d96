"""Hundreds of connections through random faults, for as long as you like."""
