"""A store as a live page: what its runs do, and the report of what they have found so far."""
