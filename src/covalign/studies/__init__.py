"""One folder a question: words, page, record, measure."""
