"""What a model is: examples, retrieval model, ranker, loop, metrics, evaluation, registry."""
