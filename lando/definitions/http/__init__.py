"""Requests and answers of the routes: errors (``answers``), what the API's description says of them (``described``),
requests that take as long as a Job (``patient``), and its log line by line (``following``).
"""
