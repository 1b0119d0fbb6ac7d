"""An unmodified ccxt, pointed at a gateway of ours by its options alone."""

import ccxt

REST = {
    'fapiPublic': '/fapi/v1', 'fapiPublicV2': '/fapi/v2', 'fapiPublicV3': '/fapi/v3',
    'fapiPrivate': '/fapi/v1', 'fapiPrivateV2': '/fapi/v2', 'fapiPrivateV3': '/fapi/v3',
    'fapiData': '/futures/data', 'sapi': '/sapi/v1', 'public': '/api/v3', 'private': '/api/v3',
}


def options(base, key, secret):
    """The constructor argument that makes `ccxt.binanceusdm` a client of the gateway at `base`."""
    websocket = base.replace('http', 'ws', 1)
    urls = {name: base + path for name, path in REST.items()}
    urls['ws'] = {'linear': websocket + '/ws', 'ws-api': {'linear': websocket + '/ws-fapi/v1'}}
    return {
        'apiKey': key,
        'secret': secret,
        'options': {'fetchCurrencies': False},
        'urls': {'api': urls},
        # ccxt chooses its table of error codes by the venue's own host name
        'exceptions': {'exact': ccxt.binanceusdm().exceptions['linear']['exact']},
    }


def smallest_order(client, symbol, price):
    """A quantity a little above what the symbol's filters ask for at `price`."""
    market = client.market(symbol)
    limits, step = market['limits'], market['precision']['amount']
    wanted = max(limits['amount']['min'], limits['cost']['min'] / price)
    return float(client.amount_to_precision(symbol, wanted * 1.25 + step))
