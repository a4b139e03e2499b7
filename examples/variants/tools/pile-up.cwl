#!/usr/bin/env cwl-runner
cwlVersion: v1.2
class: CommandLineTool
label: Likelihoods of each genotype at each position (bcftools mpileup)

requirements:
  InitialWorkDirRequirement:
    listing:
      - $(inputs.reference)  # its index is written beside it
hints:
  SoftwareRequirement:
    packages:
      bcftools: {version: ["1.16"]}
  ResourceRequirement:
    coresMin: 1
    ramMin: 512

baseCommand: [bcftools, mpileup]

inputs:
  reference:
    type: File
    label: FASTA file
  alignments:
    type: File
    label: Sorted BAM file
    secondaryFiles: [.bai]
    inputBinding: {position: 1}

arguments:
  - {prefix: --fasta-ref, valueFrom: $(inputs.reference.basename)}
  - {prefix: --output-type, valueFrom: u}
  - {prefix: --output, valueFrom: likelihoods.bcf}

outputs:
  likelihoods:
    type: File
    outputBinding: {glob: likelihoods.bcf}
