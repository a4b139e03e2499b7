"""What a Lando server has beyond the library, put together by ``service``.

``view`` follows the Jobs by a watch, ``allowance`` bounds those of a user; ``keeping`` has the archive keep what is to
be known of them (``kept``), in the order of ``to_keep``, until ``retention`` lets it go; ``standing`` is for health and
metrics.
"""
