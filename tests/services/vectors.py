"""The test vectors of the message contract: bodies as senders wrote them, and hostile ones."""

from __future__ import annotations

from base64 import b64decode
from typing import Final

GOOD: Final[dict[str, bytes]] = {
    # start_job, str id
    "V1": b64decode(
        "gAJjbGFuZG9fbWVzc2FnaW5nLndvcmtxdWV1ZQpXb3JrUmVxdWVzdApxACmBcQF9cQIoWAcAAABjb21tYW5kcQNYCQAAAHN0YXJ0"
        "X2pvYnEEWAcAAABwYXlsb2FkcQVjbGFuZG9fbWVzc2FnaW5nLm1lc3NhZ2luZwpTdGFydEpvYlBheWxvYWQKcQYpgXEHfXEIWAYA"
        "AABqb2JfaWRxCVgCAAAANDJxCnNiWAcAAAB2ZXJzaW9ucQtYBQAAADIuMS4wcQx1Yi4="
    ),
    # start_job, int id
    "V2": b64decode(
        "gAJjbGFuZG9fbWVzc2FnaW5nLndvcmtxdWV1ZQpXb3JrUmVxdWVzdApxACmBcQF9cQIoWAcAAABjb21tYW5kcQNYCQAAAHN0YXJ0"
        "X2pvYnEEWAcAAABwYXlsb2FkcQVjbGFuZG9fbWVzc2FnaW5nLm1lc3NhZ2luZwpTdGFydEpvYlBheWxvYWQKcQYpgXEHfXEIWAYA"
        "AABqb2JfaWRxCUsqc2JYBwAAAHZlcnNpb25xClgFAAAAMi4xLjBxC3ViLg=="
    ),
    # cancel_job, str id
    "V3": b64decode(
        "gAJjbGFuZG9fbWVzc2FnaW5nLndvcmtxdWV1ZQpXb3JrUmVxdWVzdApxACmBcQF9cQIoWAcAAABjb21tYW5kcQNYCgAAAGNhbmNl"
        "bF9qb2JxBFgHAAAAcGF5bG9hZHEFY2xhbmRvX21lc3NhZ2luZy5tZXNzYWdpbmcKQ2FuY2VsSm9iUGF5bG9hZApxBimBcQd9cQhY"
        "BgAAAGpvYl9pZHEJWAIAAAA0MnEKc2JYBwAAAHZlcnNpb25xC1gFAAAAMi4xLjBxDHViLg=="
    ),
    # restart_job, str id
    "V4": b64decode(
        "gAJjbGFuZG9fbWVzc2FnaW5nLndvcmtxdWV1ZQpXb3JrUmVxdWVzdApxACmBcQF9cQIoWAcAAABjb21tYW5kcQNYCwAAAHJlc3Rh"
        "cnRfam9icQRYBwAAAHBheWxvYWRxBWNsYW5kb19tZXNzYWdpbmcubWVzc2FnaW5nClJlc3RhcnRKb2JQYXlsb2FkCnEGKYFxB31x"
        "CFgGAAAAam9iX2lkcQlYAgAAADQycQpzYlgHAAAAdmVyc2lvbnELWAUAAAAyLjEuMHEMdWIu"
    ),
    # stage_job_complete
    "V5": b64decode(
        "gAJjbGFuZG9fbWVzc2FnaW5nLndvcmtxdWV1ZQpXb3JrUmVxdWVzdApxACmBcQF9cQIoWAcAAABjb21tYW5kcQNYEgAAAHN0YWdl"
        "X2pvYl9jb21wbGV0ZXEEWAcAAABwYXlsb2FkcQVjbGFuZG9fbWVzc2FnaW5nLm1lc3NhZ2luZwpKb2JTdGVwQ29tcGxldGVQYXls"
        "b2FkCnEGKYFxB31xCChYBgAAAGpvYl9pZHEJWAIAAAA0MnEKWBAAAAB2bV9pbnN0YW5jZV9uYW1lcQtOdWJYBwAAAHZlcnNpb25x"
        "DFgFAAAAMi4xLjBxDXViLg=="
    ),
    # store_job_output_complete
    "V6": b64decode(
        "gAJjbGFuZG9fbWVzc2FnaW5nLndvcmtxdWV1ZQpXb3JrUmVxdWVzdApxACmBcQF9cQIoWAcAAABjb21tYW5kcQNYGQAAAHN0b3Jl"
        "X2pvYl9vdXRwdXRfY29tcGxldGVxBFgHAAAAcGF5bG9hZHEFY2xhbmRvX21lc3NhZ2luZy5tZXNzYWdpbmcKSm9iU3RlcFN0b3Jl"
        "T3V0cHV0Q29tcGxldGVQYXlsb2FkCnEGKYFxB31xCChYBgAAAGpvYl9pZHEJWAIAAAA0MnEKWBAAAAB2bV9pbnN0YW5jZV9uYW1l"
        "cQtOWBMAAABvdXRwdXRfcHJvamVjdF9pbmZvcQxOdWJYBwAAAHZlcnNpb25xDVgFAAAAMi4xLjBxDnViLg=="
    ),
    # run_job_error
    "V7": b64decode(
        "gAJjbGFuZG9fbWVzc2FnaW5nLndvcmtxdWV1ZQpXb3JrUmVxdWVzdApxACmBcQF9cQIoWAcAAABjb21tYW5kcQNYDQAAAHJ1bl9q"
        "b2JfZXJyb3JxBFgHAAAAcGF5bG9hZHEFY2xhbmRvX21lc3NhZ2luZy5tZXNzYWdpbmcKSm9iU3RlcEVycm9yUGF5bG9hZApxBimB"
        "cQd9cQgoWAYAAABqb2JfaWRxCVgCAAAANDJxClgQAAAAdm1faW5zdGFuY2VfbmFtZXELTlgHAAAAbWVzc2FnZXEMWCsAAABUcmFj"
        "ZWJhY2s6IHRvb2wgZmFpbGVkCmV4aXQgc3RhdHVzIDEg4oCUIMO8cQ11YlgHAAAAdmVyc2lvbnEOWAUAAAAyLjEuMHEPdWIu"
    ),
    # record_output_project_complete
    "V8": b64decode(
        "gAJjbGFuZG9fbWVzc2FnaW5nLndvcmtxdWV1ZQpXb3JrUmVxdWVzdApxACmBcQF9cQIoWAcAAABjb21tYW5kcQNYHgAAAHJlY29y"
        "ZF9vdXRwdXRfcHJvamVjdF9jb21wbGV0ZXEEWAcAAABwYXlsb2FkcQVjbGFuZG9fbWVzc2FnaW5nLm1lc3NhZ2luZwpKb2JTdGVw"
        "Q29tcGxldGVQYXlsb2FkCnEGKYFxB31xCChYBgAAAGpvYl9pZHEJWAIAAAA0MnEKWBAAAAB2bV9pbnN0YW5jZV9uYW1lcQtOdWJY"
        "BwAAAHZlcnNpb25xDFgFAAAAMi4xLjBxDXViLg=="
    ),
    # start_debug
    "V9": b64decode(
        "gAJjbGFuZG9fbWVzc2FnaW5nLndvcmtxdWV1ZQpXb3JrUmVxdWVzdApxACmBcQF9cQIoWAcAAABjb21tYW5kcQNYCwAAAHN0YXJ0"
        "X2RlYnVncQRYBwAAAHBheWxvYWRxBWNsYW5kb19tZXNzYWdpbmcubWVzc2FnaW5nClN0YXJ0RGVidWdQYXlsb2FkCnEGKYFxB31x"
        "CFgGAAAAam9iX2lkcQlYAgAAADQycQpzYlgHAAAAdmVyc2lvbnELWAUAAAAyLjEuMHEMdWIu"
    ),
    # cancel_debug
    "V10": b64decode(
        "gAJjbGFuZG9fbWVzc2FnaW5nLndvcmtxdWV1ZQpXb3JrUmVxdWVzdApxACmBcQF9cQIoWAcAAABjb21tYW5kcQNYDAAAAGNhbmNl"
        "bF9kZWJ1Z3EEWAcAAABwYXlsb2FkcQVjbGFuZG9fbWVzc2FnaW5nLm1lc3NhZ2luZwpDYW5jZWxEZWJ1Z1BheWxvYWQKcQYpgXEH"
        "fXEIWAYAAABqb2JfaWRxCVgCAAAANDJxCnNiWAcAAAB2ZXJzaW9ucQtYBQAAADIuMS4wcQx1Yi4="
    ),
    # start_job, int 300 (BININT2)
    "V11": b64decode(
        "gAJjbGFuZG9fbWVzc2FnaW5nLndvcmtxdWV1ZQpXb3JrUmVxdWVzdApxACmBcQF9cQIoWAcAAABjb21tYW5kcQNYCQAAAHN0YXJ0"
        "X2pvYnEEWAcAAABwYXlsb2FkcQVjbGFuZG9fbWVzc2FnaW5nLm1lc3NhZ2luZwpTdGFydEpvYlBheWxvYWQKcQYpgXEHfXEIWAYA"
        "AABqb2JfaWRxCU0sAXNiWAcAAAB2ZXJzaW9ucQpYBQAAADIuMS4wcQt1Yi4="
    ),
    # start_job, int 70000 (BININT)
    "V12": b64decode(
        "gAJjbGFuZG9fbWVzc2FnaW5nLndvcmtxdWV1ZQpXb3JrUmVxdWVzdApxACmBcQF9cQIoWAcAAABjb21tYW5kcQNYCQAAAHN0YXJ0"
        "X2pvYnEEWAcAAABwYXlsb2FkcQVjbGFuZG9fbWVzc2FnaW5nLm1lc3NhZ2luZwpTdGFydEpvYlBheWxvYWQKcQYpgXEHfXEIWAYA"
        "AABqb2JfaWRxCUpwEQEAc2JYBwAAAHZlcnNpb25xClgFAAAAMi4xLjBxC3ViLg=="
    ),
    # start_job, int 2**40 (LONG1)
    "V13": b64decode(
        "gAJjbGFuZG9fbWVzc2FnaW5nLndvcmtxdWV1ZQpXb3JrUmVxdWVzdApxACmBcQF9cQIoWAcAAABjb21tYW5kcQNYCQAAAHN0YXJ0"
        "X2pvYnEEWAcAAABwYXlsb2FkcQVjbGFuZG9fbWVzc2FnaW5nLm1lc3NhZ2luZwpTdGFydEpvYlBheWxvYWQKcQYpgXEHfXEIWAYA"
        "AABqb2JfaWRxCYoGAAAAAAABc2JYBwAAAHZlcnNpb25xClgFAAAAMi4xLjBxC3ViLg=="
    ),
    # start_job "1", version 2.0.0
    "V14": b64decode(
        "gAJjbGFuZG9fbWVzc2FnaW5nLndvcmtxdWV1ZQpXb3JrUmVxdWVzdApxACmBcQF9cQIoWAcAAABjb21tYW5kcQNYCQAAAHN0YXJ0"
        "X2pvYnEEWAcAAABwYXlsb2FkcQVjbGFuZG9fbWVzc2FnaW5nLm1lc3NhZ2luZwpTdGFydEpvYlBheWxvYWQKcQYpgXEHfXEIWAYA"
        "AABqb2JfaWRxCVgBAAAAMXEKc2JYBwAAAHZlcnNpb25xC1gFAAAAMi4wLjBxDHViLg=="
    ),
    # start_job u"42" from a Python 2 sender
    "V15": b64decode(
        "gAJjbGFuZG9fbWVzc2FnaW5nLndvcmtxdWV1ZQpXb3JrUmVxdWVzdApxACmBcQF9cQIoVQd2ZXJzaW9ucQNVBTIuMS4wcQRVB2Nv"
        "bW1hbmRxBVUJc3RhcnRfam9icQZVB3BheWxvYWRxB2NsYW5kb19tZXNzYWdpbmcubWVzc2FnaW5nClN0YXJ0Sm9iUGF5bG9hZApx"
        "CCmBcQl9cQpVBmpvYl9pZHELWAIAAAA0MnEMc2J1Yi4="
    ),
}
"""Written by lando-messaging 2.x and the original API; all must be accepted."""

BAD: Final[dict[str, bytes]] = {
    # major version 1
    "N1": b64decode(
        "gAJjbGFuZG9fbWVzc2FnaW5nLndvcmtxdWV1ZQpXb3JrUmVxdWVzdApxACmBcQF9cQIoWAcAAABjb21tYW5kcQNYCQAAAHN0YXJ0"
        "X2pvYnEEWAcAAABwYXlsb2FkcQVjbGFuZG9fbWVzc2FnaW5nLm1lc3NhZ2luZwpTdGFydEpvYlBheWxvYWQKcQYpgXEHfXEIWAYA"
        "AABqb2JfaWRxCVgCAAAANDJxCnNiWAcAAAB2ZXJzaW9ucQtYBQAAADEuMC4wcQx1Yi4="
    ),
    # unknown command
    "N2": b64decode(
        "gAJjbGFuZG9fbWVzc2FnaW5nLndvcmtxdWV1ZQpXb3JrUmVxdWVzdApxACmBcQF9cQIoWAcAAABjb21tYW5kcQNYCAAAAG1ha2Vf"
        "dGVhcQRYBwAAAHBheWxvYWRxBWNsYW5kb19tZXNzYWdpbmcubWVzc2FnaW5nClN0YXJ0Sm9iUGF5bG9hZApxBimBcQd9cQhYBgAA"
        "AGpvYl9pZHEJWAIAAAA0MnEKc2JYBwAAAHZlcnNpb25xC1gFAAAAMi4xLjBxDHViLg=="
    ),
    # class not on the list (right module)
    "N3": b64decode("gAJjbGFuZG9fbWVzc2FnaW5nLndvcmtxdWV1ZQpXb3JrUXVldWVDb25uZWN0aW9uCimBLg=="),
    # call of a foreign function (os.getcwd)
    "N4": b64decode("gAJjb3MKZ2V0Y3dkCilSLg=="),
    # foreign call hidden in a payload attribute
    "N5": b64decode(
        "gAJjbGFuZG9fbWVzc2FnaW5nLndvcmtxdWV1ZQpXb3JrUmVxdWVzdApxACmBcQF9cQIoWAcAAABjb21tYW5kcQNYCQAAAHN0YXJ0"
        "X2pvYnEEWAcAAABwYXlsb2FkcQVjbGFuZG9fbWVzc2FnaW5nLm1lc3NhZ2luZwpTdGFydEpvYlBheWxvYWQKcQYpgXEHfXEIWAYA"
        "AABqb2JfaWRxCWNvcwpnZXRjd2QKKVJzYlgHAAAAdmVyc2lvbnEKWAUAAAAyLjEuMHELdWIu"
    ),
    # dotted name through an allowed module (protocol 4)
    "N6": b64decode("gASMGWxhbmRvX21lc3NhZ2luZy53b3JrcXVldWWMDHBpY2tsZS5sb2Fkc5Mu"),
    # plain dict instead of a WorkRequest
    "N7": b64decode(
        "gAJ9cQAoWAcAAABjb21tYW5kcQFYCQAAAHN0YXJ0X2pvYnECWAcAAABwYXlsb2FkcQN9cQRYBgAAAGpvYl9pZHEFWAIAAAA0MnEG"
        "c1gHAAAAdmVyc2lvbnEHWAUAAAAyLjEuMHEIdS4="
    ),
    # job_id that is not an integer
    "N8": b64decode(
        "gAJjbGFuZG9fbWVzc2FnaW5nLndvcmtxdWV1ZQpXb3JrUmVxdWVzdApxACmBcQF9cQIoWAcAAABjb21tYW5kcQNYCQAAAHN0YXJ0"
        "X2pvYnEEWAcAAABwYXlsb2FkcQVjbGFuZG9fbWVzc2FnaW5nLm1lc3NhZ2luZwpTdGFydEpvYlBheWxvYWQKcQYpgXEHfXEIWAYA"
        "AABqb2JfaWRxCVgGAAAAMS8uLi8ycQpzYlgHAAAAdmVyc2lvbnELWAUAAAAyLjEuMHEMdWIu"
    ),
    # truncated body
    "N9": b64decode(
        "gAJjbGFuZG9fbWVzc2FnaW5nLndvcmtxdWV1ZQpXb3JrUmVxdWVzdApxACmBcQF9cQIoWAcAAABjb21tYW5kcQNYCQAAAHN0YXJ0"
        "X2pvYnEEWAcAAABwYXlsb2FkcQVjbGFuZG9fbWVzc2FnaW5nLm1lc3NhZ2luZwpTdGFydEpvYlBheWxvYWQKcQYpgXEHfXEIWAYA"
        "AABqb2JfaWRxCVgCAAAANDJxCnNiWAcAAAB2ZXJzaW9ucQtYBQAAADIu"
    ),
    # not a pickle
    "N10": b64decode("eyJjb21tYW5kIjogInN0YXJ0X2pvYiJ9"),
    # payload class of another command
    "N11": b64decode(
        "gAJjbGFuZG9fbWVzc2FnaW5nLndvcmtxdWV1ZQpXb3JrUmVxdWVzdApxACmBcQF9cQIoWAcAAABjb21tYW5kcQNYCQAAAHN0YXJ0"
        "X2pvYnEEWAcAAABwYXlsb2FkcQVjbGFuZG9fbWVzc2FnaW5nLm1lc3NhZ2luZwpKb2JTdGVwRXJyb3JQYXlsb2FkCnEGKYFxB31x"
        "CChYBgAAAGpvYl9pZHEJWAIAAAA0MnEKWBAAAAB2bV9pbnN0YW5jZV9uYW1lcQtOWAcAAABtZXNzYWdlcQxYAQAAAHhxDXViWAcA"
        "AAB2ZXJzaW9ucQ5YBQAAADIuMS4wcQ91Yi4="
    ),
    # version missing
    "N12": b64decode(
        "gAJjbGFuZG9fbWVzc2FnaW5nLndvcmtxdWV1ZQpXb3JrUmVxdWVzdApxACmBcQF9cQIoWAcAAABjb21tYW5kcQNYCQAAAHN0YXJ0"
        "X2pvYnEEWAcAAABwYXlsb2FkcQVjbGFuZG9fbWVzc2FnaW5nLm1lc3NhZ2luZwpTdGFydEpvYlBheWxvYWQKcQYpgXEHfXEIWAYA"
        "AABqb2JfaWRxCVgCAAAANDJxCnNidWIu"
    ),
}
"""Must never be executed; N11 is a start of job 42 in the payload class of another command."""
