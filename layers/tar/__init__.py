"""Layers as bytes: tars in and out, their rules, their tables of contents, their compression."""
