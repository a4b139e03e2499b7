"""The command queue on RabbitMQ: one connection consumes and settles, another publishes.

They are two because a broker that is short of memory or disk stops reading from connections that publish;
acknowledgements must get through all the same.
"""
