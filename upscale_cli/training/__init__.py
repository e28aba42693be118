"""Verb 2: networks trained by recipes."""
