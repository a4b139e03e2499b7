#!/usr/bin/env cwl-runner
cwlVersion: v1.2
class: CommandLineTool
label: Summarize all files
doc: Puts the numbers of all files side by side, as a table, as JSON and as a figure.

requirements:
  InitialWorkDirRequirement:
    listing:
      - entryname: summarize.py
        entry:
          $include: ../scripts/summarize.py
  ResourceRequirement:
    coresMin: 1
    ramMin: 128

baseCommand: [python3, summarize.py]

inputs:
  title:
    type: string
    label: Headline of the figure
    inputBinding: {position: 1}
  measures:
    type: File[]
    label: The numbers of each file
    inputBinding: {position: 2}

outputs:
  table:
    type: File
    label: One line per file
    outputBinding: {glob: summary.tsv}
  numbers:
    type: File
    label: The same for programs
    outputBinding: {glob: summary.json}
  figure:
    type: File
    label: Qualities, lengths and GC content
    outputBinding: {glob: quality.svg}
