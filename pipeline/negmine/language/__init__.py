"""Captions as grammar: parsed, inflected, looked up. A library that several stages use."""
