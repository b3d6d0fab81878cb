"""Making the compact model: pairs, losses, loops and export. The library never imports this package."""
