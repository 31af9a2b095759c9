"""The review page: see, compare, correct and approve; a Starlette application, served by uvicorn.

It reads ledger, outbox and model store, and changes jobs only by way of `service.maintenance`.
"""
