"""New layers and images: of entries, of what a command changed, of other layers."""
