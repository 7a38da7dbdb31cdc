# SPDX-License-Identifier: Apache-2.0
"""What a person looks at afterwards: pages, plots, films and figures, and what a machine is like.

- A demo: ``demo_summary``, ``demo_plot`` and ``demo_film``.
- Recordings as one HTML page (``recordings``): ``page`` around the sections of ``episode``,
  with ``joints`` and other ``charts``, in one ``style``.
- The ``score_sheet`` of a blind comparison, ``comparison_plot`` of evaluations, ``seams_plot``.
- The ``machine`` that figures were measured on, and whether it can run a stack (``doctor``).

For example:

    from cosmos_policy_ros.report.recordings import write_report

    write_report([Path('data/transfer_cube')], Path('transfer_cube.html'))
"""
