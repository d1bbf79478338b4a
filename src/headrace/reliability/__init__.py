"""What steps reach for when they call the outside world, shared by all workers of a database."""
