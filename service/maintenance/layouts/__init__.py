"""How packages are laid out for the systems of archives; each module is one layout."""
