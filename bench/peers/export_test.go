package peers

// CoreAddress returns where the core tier of a peer listens.
func CoreAddress(c Chain) string { return c.(*pair).settings.Core }
