"""Metrics, one small pure module a family. Each takes lists of one item a sample and returns arrays of one value a sample.

Three words mean the same in every module and for every system:

- *no answer*: the answer is empty or white space only;
- *unreadable*: the task's parser found nothing of the format in it (status `invalid`); no answer is unreadable too;
- *readable*: everything else, an answer that names nothing included.
"""
