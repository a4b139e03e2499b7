"""Bespin's words: its documents and its one-letter states and steps. Nothing else knows its JSON keys."""
