"""Tests on real Apache servers."""
