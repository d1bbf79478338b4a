"""Ready-made pipelines, written against the public names only, as a user would."""
