"""Bird's messages: their shapes, channels and people."""
