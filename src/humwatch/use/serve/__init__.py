"""The service: clips are posted, judged and kept in a history; a page shows how the machines are."""
