"""Interventions: what an operator does to deadlines by hand, each with a reason, in the ledger, and safe beside any worker.

One intervention a file. Each finds its deadlines by a `Scope`, restates in SQL the conditions under which it is right, and
returns an object that says what was found and what was changed. They need no broker. Imports the verbs and the noun rooms.
"""
