"""What the API takes and shows, as its OpenAPI document has it."""
