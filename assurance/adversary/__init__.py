"""Attacks on the protocol: what they are told and tried with."""
