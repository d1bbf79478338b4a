"""Jobs that other systems submit by message."""
