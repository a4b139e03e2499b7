#!/usr/bin/env cwl-runner
cwlVersion: v1.2
class: Workflow
label: Variants from paired reads
doc: >
  Aligns paired reads to a reference with Bowtie 2, sorts the alignments with SAMtools and calls with BCFtools where the sample differs
  from the reference.

inputs:
  reference:
    type: File
    label: Reference sequences, FASTA, plain or gzip'ed
  reads_1:
    type: File
    label: First mates, FASTQ, plain or gzip'ed
  reads_2:
    type: File
    label: Second mates in the same order
  sample:
    type: string
    label: Name of the sample, as it stands in the alignments and variants
  ploidy:
    type: int
    label: Copies of each sequence, 1 or 2
    default: 2
  threads:
    type: int
    label: Threads of the aligner
    default: 1

outputs:
  variants:
    type: File
    label: Where the sample differs from the reference (VCF, bgzip'ed, with index)
    secondaryFiles: [.csi]
    outputSource: index_variants/indexed
  alignments:
    type: File
    label: The sorted alignments (BAM, with index)
    secondaryFiles: [.bai]
    outputSource: sort/sorted
  alignment_summary:
    type: File
    label: How many reads were aligned, and how
    outputSource: align/summary
  variant_statistics:
    type: File
    label: Counts of substitutions, indels and qualities
    outputSource: statistics/counts

steps:
  unpack:
    label: Unpack the reference
    run: tools/unpack.cwl
    in:
      packed: reference
    out: [plain]

  build_index:
    label: Index the reference for the aligner
    run: tools/build-index.cwl
    in:
      reference: unpack/plain
    out: [index]

  align:
    label: Align the reads
    run: tools/align.cwl
    in:
      index: build_index/index
      reads_1: reads_1
      reads_2: reads_2
      sample: sample
      threads: threads
    out: [alignments, summary]

  sort:
    label: Sort the alignments by position
    run: tools/sort.cwl
    in:
      alignments: align/alignments
    out: [sorted]

  pile_up:
    label: Put the reads' bases one upon the other
    run: tools/pile-up.cwl
    in:
      reference: unpack/plain
      alignments: sort/sorted
    out: [likelihoods]

  call:
    label: Call variants
    run: tools/call.cwl
    in:
      likelihoods: pile_up/likelihoods
      ploidy: ploidy
    out: [variants]

  index_variants:
    label: Index the variants
    run: tools/index-variants.cwl
    in:
      variants: call/variants
    out: [indexed]

  statistics:
    label: Count the variants
    run: tools/statistics.cwl
    in:
      variants: call/variants
    out: [counts]
