"""How results are shown to a person: text for now."""
