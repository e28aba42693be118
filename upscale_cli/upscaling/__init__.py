"""Verb 1: pictures enlarged by networks."""
