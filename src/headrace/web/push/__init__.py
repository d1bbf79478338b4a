"""Messages that Pub/Sub sends as requests: POST /push, of `headrace worker --push`."""
