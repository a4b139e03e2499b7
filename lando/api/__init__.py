"""The API server: what users asked for and what became of it.

Speaks Bespin's REST API (``/api``, ``/api/v2``, ``/api/v2/admin``) to users, clients and daemons, and Lando's own
(``/api/lando/v1``) to the command line. A command (start, restart, cancel) and the change of state that it stands
for are one transaction: the message waits in the outbox until the broker has confirmed it.
"""
