"""What is wrong with definitions and the manifests that they make, told before a Job is asked for, as ``findings``.

``examining`` looks at one definition, by ``job_shape`` at its manifest; ``checking`` at a file for a command,
``looking`` in the background of a server.
"""
