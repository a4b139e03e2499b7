#!/usr/bin/env cwl-runner
cwlVersion: v1.2
class: Workflow
label: Quality control of sequencing reads
doc: >
  Measures every file of reads on its own, side by side: base qualities along the reads, their lengths and their GC content. Then puts
  the files next to each other in a table (summary.tsv, summary.json) and a figure (quality.svg).

requirements:
  ScatterFeatureRequirement: {}

inputs:
  reads:
    type: File[]
    label: FASTQ files, plain or gzip'ed
  title:
    type: string
    label: Headline of the figure
    default: Quality of sequencing reads

outputs:
  table:
    type: File
    label: One line of numbers per file
    outputSource: summarize/table
  numbers:
    type: File
    label: The same numbers for programs
    outputSource: summarize/numbers
  figure:
    type: File
    label: Qualities, lengths and GC content of all files
    outputSource: summarize/figure

steps:
  quality:
    label: Measure each file
    run: tools/quality.cwl
    scatter: reads
    in:
      reads: reads
    out: [measures]

  summarize:
    label: Put the files side by side
    run: tools/summarize.cwl
    in:
      title: title
      measures: quality/measures
    out: [table, numbers, figure]
