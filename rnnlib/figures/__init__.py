"""One module per chapter, one function per figure; each returns a matplotlib figure."""
