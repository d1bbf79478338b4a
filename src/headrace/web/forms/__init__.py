"""Forms for people, made from the JSON schema of the value that they are asked for."""
