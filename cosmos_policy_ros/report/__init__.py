# SPDX-License-Identifier: Apache-2.0
"""What a person looks at: the terminal while a stack runs, and pages, plots and films afterwards.

- A stack that is started, shown while it runs and gone afterwards (``live``): a demo (``demo``
  with ``demo_terminal``, ``demo_summary``, ``demo_plot``, ``demo_film``), a ``replay`` of a bag,
  and a live ``demonstration``.
- Recordings as one HTML page (``recordings``): ``page`` around the sections of ``episode``,
  with ``joints`` and other ``charts``, in one ``style``.
- ``comparison_plot`` of evaluations, and the ``machine`` that figures were measured on.

For example:

    from cosmos_policy_ros.report.recordings import write_report

    write_report([Path('data/transfer_cube')], Path('transfer_cube.html'))
"""
