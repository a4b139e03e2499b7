#!/usr/bin/env cwl-runner
cwlVersion: v1.2
class: CommandLineTool
label: Align paired reads (bowtie2)

requirements:
  InitialWorkDirRequirement:
    listing:
      - $(inputs.index)
hints:
  SoftwareRequirement:
    packages:
      bowtie2: {version: ["2.5.0"]}
  ResourceRequirement:
    coresMin: $(inputs.threads)
    ramMin: 512

baseCommand: bowtie2

inputs:
  index:
    type: File[]
    label: What bowtie2-build made, named reference.*
  reads_1:
    type: File
    inputBinding: {prefix: "-1"}
  reads_2:
    type: File
    inputBinding: {prefix: "-2"}
  sample:
    type: string
    inputBinding: {prefix: --rg-id}
  threads:
    type: int
    inputBinding: {prefix: --threads}

arguments:
  - {prefix: -x, valueFrom: reference}
  - {prefix: --rg, valueFrom: "SM:$(inputs.sample)"}
  - {prefix: -S, valueFrom: alignments.sam}
  - --reorder
  - --no-unal

stderr: alignment-summary.txt

outputs:
  alignments:
    type: File
    label: SAM, in the order of the reads
    outputBinding: {glob: alignments.sam}
  summary:
    type: stderr
