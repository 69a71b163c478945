"""eval: answers in, scores out. Joins model answers with gold records and computes every table of a report from them."""
