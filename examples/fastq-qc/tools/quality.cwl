#!/usr/bin/env cwl-runner
cwlVersion: v1.2
class: CommandLineTool
label: Measure one file of reads
doc: >
  Counts reads and bases of one FASTQ file and measures its base qualities along the reads, the lengths and the GC content of the reads.
  Ends with a sentence that names the line when the file is not FASTQ.

requirements:
  InitialWorkDirRequirement:
    listing:
      - entryname: quality.py
        entry:
          $include: ../scripts/quality.py
  ResourceRequirement:
    coresMin: 1
    ramMin: 128

baseCommand: [python3, quality.py]

inputs:
  reads:
    type: File
    label: FASTQ file, plain or gzip'ed
    inputBinding: {position: 1}

arguments:
  - valueFrom: $(inputs.reads.nameroot).json
    position: 2

outputs:
  measures:
    type: File
    label: The file's numbers, as JSON
    outputBinding: {glob: $(inputs.reads.nameroot).json}
