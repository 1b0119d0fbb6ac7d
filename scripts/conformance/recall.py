"""One wallet over many shards while its processes are killed, seen by an unmodified ccxt.

usage: recall.py EXCHANGE SEED DATA

Starts a cluster of its own in DATA with the operator's tool EXCHANGE, from a copy of SEED in which
two symbols of two shards take their index from here. Nearly all of an account's money lies on one
shard, behind a position with a low leverage; on the other shard it has a position with a high one,
and its price falls. What that shard lacks is recalled, also when the ledger is killed before it has
answered. An outage that is longer than a margin call's grace ends in a liquidation, no sooner.
A withdrawal that the ledger's death interrupts is paid once. In the end each wallet is what the
statement says, and all of them together are what was paid in.
"""

import json
import os
import pathlib
import signal
import sqlite3
import subprocess
import sys
import time
from decimal import Decimal

import ccxt

from cluster import Cluster, Index

# what falls, on shard 3, and where the money lies, on shard 2
FALLS, LIES = 'SOLUSDT', 'ETHUSDT'
SYMBOLS = {FALLS: 'SOL/USDT:USDT', LIES: 'ETH/USDT:USDT'}
SHARDS = {FALLS: 3, LIES: 2}
LEDGER = 0
PRICES = {FALLS: 150.0, LIES: 3000.0}
QTY = {FALLS: 25, LIES: 0.614}
LEVERAGE = {FALLS: 50, LIES: 2}
MAINTENANCE = Decimal('0.005')
DEPOSIT = 1000
# as the margin call's limits have it, in log time: with a ledger that is heard, and without
GRACE_MS, GRACE_DOWN_MS, RECALL_WAIT_MS = 250, 2000, 150
# longer than a withdrawal waits for the shards
WITHDRAW_WAIT_S = 1.1
# a ledger that is back sooner than this has answered before the longer grace is over
SOON_S = 1.2
PATIENCE_S = 20


class Trader:
    def __init__(self, cluster, name, deposit):
        self.name = name
        # few enough requests for the venue, so ccxt need not pace them
        own = {**cluster.account(name, deposit), 'enableRateLimit': False}
        self.client = ccxt.binanceusdm(own)
        self.paid_in = Decimal(deposit)
        self.client.load_markets()

    def order(self, name, side, price, qty=None, **params):
        qty = qty or QTY[name]
        return self.client.create_order(SYMBOLS[name], 'limit', side, qty, price, params)

    def held(self, name):
        return sum(p['contracts'] * (1 if p['side'] == 'long' else -1)
                   for p in self.client.fetch_positions([SYMBOLS[name]]))

    def wallet(self):
        rows = self.client.fapiPrivateV3GetBalance()
        balance = next(Decimal(row['balance']) for row in rows if row['asset'] == 'USDT')
        account = Decimal(self.client.fapiPrivateV3GetAccount()['totalWalletBalance'])
        return balance if balance == account else f'{balance} and {account}'

    def statement(self):
        rows = self.client.fapiPrivateGetIncome({'limit': 1000})
        sums = {}
        for row in rows:
            kind = row['incomeType']
            sums[kind] = sums.get(kind, Decimal(0)) + Decimal(row['income'])
        return sums

    def forced(self):
        return [int(order['time']) for name in SYMBOLS
                for order in self.client.fapiPrivateGetForceOrders({'symbol': name})]


class Scenes:
    def __init__(self, cluster, index):
        self.cluster, self.index = cluster, index
        self.checks, self.traders, self.transfers = 0, [], int(time.time() * 1e6)

    def check(self, holds, what):
        self.checks += 1
        if not holds:
            raise AssertionError(what)

    def until(self, what, ask, pause=0.02):
        deadline = time.monotonic() + PATIENCE_S
        while not (found := self.asked(ask)):
            if time.monotonic() > deadline:
                raise AssertionError(f'{what}: not within {PATIENCE_S} s')
            time.sleep(pause)
        self.checks += 1
        return found

    @staticmethod
    def asked(ask):
        try:
            return ask()
        except (ccxt.NetworkError, ccxt.OperationFailed):
            return None

    # processes

    def pid(self, shard):
        return next((p['pid'] for p in self.cluster.file()['processes']
                     if p['role'] == 'engine' and p.get('shard') == shard), None)

    def status(self, shard):
        status = json.loads(self.cluster.tool('status', '--json'))
        return next(row for row in status['gateway']['shards'] if row['shard'] == shard)

    def stop(self, shard):
        """It hears nothing any more: what is sent to it waits."""
        os.kill(self.pid(shard), signal.SIGSTOP)

    def kill(self, shard):
        """Returns how long it took until it served again."""
        pid, life = self.pid(shard), self.status(shard)['incarnation']
        os.kill(pid, signal.SIGKILL)
        killed = time.monotonic()

        def back():
            row = self.status(shard)
            return row['ready'] and row['incarnation'] > life
        self.until(f'engine {shard} is back', back)
        self.check(self.pid(shard) != pid, 'under another pid')
        return time.monotonic() - killed

    # money

    def lies(self, trader):
        """Cash by shard, as the gateway's database has it; on the ledger what is free."""
        path = self.cluster.data / 'gateway' / 'gateway.sqlite'
        with sqlite3.connect(f'file:{path}?mode=ro', uri=True) as db:
            rows = dict(db.execute('SELECT shard, cash FROM cash JOIN accounts USING (account)'
                                   ' WHERE name = ?', (trader.name,)))
        return {shard: Decimal(rows.get(shard, 0)).scaleb(-8) for shard in (LEDGER, 1, 2, 3)}

    def rests(self, trader):
        """The same once nothing is on its way."""
        def all_there():
            lies = self.lies(trader)
            return lies if sum(lies.values()) == trader.wallet() else None
        return self.until('all money lies somewhere', all_there)

    def agrees(self, trader):
        """Its wallet is what its statement says, and that what was paid in and out."""
        def told():
            sums = trader.statement()
            return sum(sums.values()) == trader.wallet() and sums
        sums = self.until(f'the wallet of {trader.name} is its statement', told)
        self.check(sums['TRANSFER'] == trader.paid_in, f'of {trader.paid_in} paid in: {sums}')
        return sums

    def insurance(self):
        return Decimal(json.loads(self.cluster.tool('insurance', 'show'))['wallet'])

    # prices

    def mark(self, name=FALLS):
        return self.maker.client.fapiPublicGetPremiumIndex({'symbol': name})

    def near(self, row, price, ticks=3):
        return abs(float(row['markPrice']) - price) <= ticks * 0.01

    def quote(self):
        """Both prices as in the beginning."""
        self.index.prices.update(PRICES)
        self.until('the marks are back', lambda: all(
            abs(float(self.mark(name)['markPrice']) / PRICES[name] - 1) < 3e-4 for name in PRICES))

    def fall(self, price):
        """Returns the log time, in ms, of the mark that has fallen; no later than it was."""
        self.index.prices[FALLS] = price
        before, at = self.mark(), time.monotonic()
        deadline = at + PATIENCE_S
        while True:
            row, now = self.mark(), time.monotonic()
            if self.near(row, price):
                # who looks seldom may have missed the first one
                return int((row if now - at < 0.3 else before)['time'])
            if now > deadline:
                raise AssertionError(f'a mark of {price}: {row}')
            before, at = row, now
            time.sleep(0.005)

    def price_at(self, trader, part):
        """Where its equity on the shard of what falls is so much of its maintenance margin."""
        qty, entry = Decimal(QTY[FALLS]), Decimal(PRICES[FALLS])
        cash = self.rests(trader)[SHARDS[FALLS]]
        return float((entry * qty - cash) / (qty * (1 - Decimal(part) * MAINTENANCE)))

    # scenes

    def trader(self, name, deposit):
        made = Trader(self.cluster, name, deposit)
        self.traders.append(made)
        return made

    def trade(self, trader, name, side, qty=None):
        other = 'sell' if side == 'buy' else 'buy'
        self.maker.order(name, other, PRICES[name], qty, postOnly=True)
        trader.order(name, side, PRICES[name], qty)

    def exposed(self, name):
        """A trader with most of the money on one shard and a position near its end on another."""
        self.quote()
        trader = self.trader(name, DEPOSIT)
        for symbol in (LIES, FALLS):
            trader.client.set_leverage(LEVERAGE[symbol], SYMBOLS[symbol])
            self.trade(trader, symbol, 'buy')
            self.check(trader.held(symbol) == QTY[symbol], f'a position on {symbol}')
        lies = self.rests(trader)
        self.check(lies[LEDGER] < 3 and lies[2] > 900 and lies[3] < 80, f'money lies so: {lies}')
        return trader, lies

    def bid(self, trader):
        """Somebody who takes what is liquidated, a little above where its money ends."""
        cash = self.rests(trader)[SHARDS[FALLS]]
        ends = PRICES[FALLS] - float(cash) / QTY[FALLS]
        return self.maker.order(FALLS, 'buy', round(ends + 0.2, 2), postOnly=True)

    def stays(self, trader, lies):
        """It has got what it lacked, and nobody was liquidated."""
        def helped():
            now = self.rests(trader)
            return now[3] > lies[3] + 5 and now
        now = self.until('what is lacking comes from the other shard', helped)
        self.check(now[2] < lies[2], f'from where it lay: {lies}, then {now}')
        self.check(trader.held(FALLS) == QTY[FALLS], 'its position stays')
        self.check(not trader.forced() and not self.maker.forced(), 'nobody is liquidated')

    def falls_to(self, trader, since, least_ms):
        """It is liquidated on one shard, but not before; on the other one it is left in peace."""
        self.until('it is liquidated', lambda: trader.held(FALLS) == 0)
        took = min(trader.forced()) - since
        self.check(took >= least_ms, f'liquidated {took} ms after its mark, not {least_ms}')
        self.check(trader.held(LIES) == QTY[LIES], 'what is not due is kept')
        self.check(not self.maker.forced(), 'and nobody else is')
        return took

    def leave(self, trader):
        self.quote()
        self.maker.client.cancel_all_orders(SYMBOLS[FALLS])
        for name in SYMBOLS:
            if trader.held(name):
                self.trade(trader, name, 'sell')
            self.check(trader.held(name) == 0, f'out of {name}')
        self.agrees(trader)

    def recalled(self):
        trader, lies = self.exposed('recalled')
        self.fall(self.price_at(trader, '0.8'))
        self.stays(trader, lies)
        self.leave(trader)
        return 'helped'

    def ledger_killed(self):
        """Between the mark and the answer, for as long as a restart takes."""
        trader, lies = self.exposed('ledger-killed')
        price = self.price_at(trader, '0.8')
        self.bid(trader)
        self.stop(LEDGER)
        since = self.fall(price)
        self.kill(LEDGER)
        away = time.time() - since / 1e3
        if away < SOON_S:
            self.stays(trader, lies)
            said = 'helped'
        else:  # a machine so slow that its grace may have ended
            self.until('its fate', lambda: self.lies(trader)[3] > lies[3] + 5 or trader.forced())
            said = 'helped'
            if trader.forced():
                said = f'liquidated after {self.falls_to(trader, since, GRACE_MS)} ms'
        self.leave(trader)
        return f'{said}, the ledger away for {away:.2f} s'

    def ledger_away(self):
        """For longer than any grace."""
        trader, _ = self.exposed('ledger-away')
        price = self.price_at(trader, '0.8')
        self.bid(trader)
        self.stop(LEDGER)
        took = self.falls_to(trader, self.fall(price), GRACE_DOWN_MS)
        self.kill(LEDGER)
        self.leave(trader)
        return f'liquidated after {took} ms'

    def lender_killed(self):
        """While the account is in need, but not due: it waits, and is helped by what comes late."""
        trader, lies = self.exposed('lender-killed')
        need, due = self.price_at(trader, '1.075'), self.price_at(trader, '0.8')
        self.stop(SHARDS[LIES])
        self.fall(need)
        time.sleep(2 * GRACE_MS / 1e3)
        self.check(trader.held(FALLS) == QTY[FALLS], 'who is not due is not liquidated')
        self.kill(SHARDS[LIES])
        self.until('what was recalled comes late', lambda: self.rests(trader)[2] < lies[2])
        self.fall(due)
        self.stays(trader, lies)
        self.leave(trader)
        return 'helped late'

    def lender_away(self):
        """While the account is due: the ledger answers with what it has, which is nothing."""
        trader, _ = self.exposed('lender-away')
        price = self.price_at(trader, '0.8')
        self.bid(trader)
        self.stop(SHARDS[LIES])
        since = self.fall(price)
        self.until('it is liquidated', lambda: trader.held(FALLS) == 0)
        self.kill(SHARDS[LIES])
        took = self.falls_to(trader, since, RECALL_WAIT_MS)
        self.leave(trader)
        return f'liquidated after {took} ms'

    # withdrawals

    def withdraw(self, trader, amount, transfer):
        return subprocess.Popen(
            [self.cluster.exchange, 'account', 'withdraw', trader.name, '--amount', str(amount),
             '--transfer', str(transfer), '--data', self.cluster.data],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def answered(self, asked):
        """Whether it was booked by this request; nothing when that was not said."""
        said, _ = asked.communicate()
        return json.loads(said)['booked'] if asked.returncode == 0 else None

    def withdrawal_killed(self, trader, amount, after_s, holds_s):
        """Cut off so long after it was asked for; half way for sure where a shard holds its answer.

        It is asked for until it is answered, always by one number.
        """
        self.quote()
        for name in SYMBOLS:
            for side in ('buy', 'sell'):
                self.trade(trader, name, side)
        lies = self.rests(trader)
        self.check(lies[LEDGER] < amount, f'more than what is free: {lies}')
        before, lender = trader.wallet(), SHARDS[LIES]
        self.transfers += 1
        number = self.transfers
        if holds_s is not None:
            self.stop(lender)
        asked = self.withdraw(trader, amount, number)
        time.sleep(after_s)
        self.kill(LEDGER)
        if holds_s is not None:
            time.sleep(holds_s)
            os.kill(self.pid(lender), signal.SIGCONT)
        said = [self.answered(asked)]
        while said[-1] is None:
            self.check(len(said) < 20, f'nobody answers: {said}')
            said.append(self.answered(self.withdraw(trader, amount, number)))
        trader.paid_in -= amount
        self.until('paid out', lambda: trader.wallet() == before - amount)
        late = self.answered(self.withdraw(trader, amount, number))
        self.check(late is False, f'it is known when it is asked for again: {late}')
        self.agrees(trader)
        return said

    def withdrawals(self):
        trader = self.trader('leaves', 5000)
        for name in SYMBOLS:
            trader.client.set_leverage(LEVERAGE[name], SYMBOLS[name])
        amounts = [Decimal(2900), *[Decimal(200)] * 5]
        cuts = [(0.01, None), (0.02, None), (0.03, None), (0.05, None), (0.2, 0),
                (0.2, WITHDRAW_WAIT_S)]
        return [self.withdrawal_killed(trader, amount, *cut) for amount, cut in zip(amounts, cuts)]

    def whole(self):
        """Nothing is made or lost: what was paid in lies in wallets, the fund, or was a fee."""
        wallets, fees = Decimal(0), Decimal(0)
        for trader in self.traders:
            self.check(not any(trader.held(name) for name in SYMBOLS), f'{trader.name} is flat')
            sums = self.agrees(trader)
            wallets += sum(sums.values())
            fees -= sums.get('COMMISSION', Decimal(0))
        paid_in = sum(trader.paid_in for trader in self.traders)
        fund = self.insurance()
        self.check(wallets + fees + fund == paid_in, f'{wallets} + {fees} + {fund} of {paid_in}')
        self.check(all(trader.wallet() >= 0 for trader in self.traders), 'nobody owes anything')

    def run(self):
        began = time.monotonic()
        self.maker = self.trader('maker', 1_000_000)
        self.check(self.insurance() == 0, 'the fund begins empty')
        for scene in (self.recalled, self.ledger_killed, self.ledger_away, self.lender_killed,
                      self.lender_away, self.withdrawals):
            said = scene()
            took = f'{time.monotonic() - began:.0f} s'
            print(f'recall: {scene.__name__}: {said} ({took})', flush=True)
        self.whole()


def main():
    exchange, seed, data = (pathlib.Path(word).resolve() for word in sys.argv[1:])
    index = Index(*SYMBOLS)
    data.mkdir(parents=True, exist_ok=True)
    others, ours = data / 'others.toml', data / 'seed.toml'
    head, *listed = seed.read_text().split('[[instrument]]\n')
    taken = tuple(f'symbol = "{name}"' for name in SYMBOLS)
    kept = [text for text in listed if not text.startswith(taken)]
    others.write_text('[[instrument]]\n'.join([head, *kept]))
    ours.write_text(index.seed(seed.read_text()))
    index.prices.update(PRICES)
    # two symbols are listed on the running cluster, so that nobody has filled their books
    cluster = Cluster(exchange, others, data)
    scenes = Scenes(cluster, index)
    try:
        cluster.tool('load', ours)
        scenes.run()
        print(f'recall: {scenes.checks} checks hold')
    except Exception as error:  # the cluster has to go, whatever failed
        print(f'recall: FAILED after {scenes.checks} checks: {type(error).__name__} {error}')
        sys.exit(1)
    finally:
        cluster.down()


main()
