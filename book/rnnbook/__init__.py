"""What the chapters draw: one module per subject of a chapter, one function per figure."""
