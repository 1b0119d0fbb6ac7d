//! Every public endpoint over real HTTP: the shapes clients read, the errors, the figures.

use protocol::Event;
use serde_json::{Value, json};

use crate::{
    stage::{KEY, Stage, check_shape},
    views::{Effects, Views, accounts::sample::Ask},
};

/// Orders on both sides of both books, and trades between them.
fn some_trading() -> Vec<Ask> {
    let mut asks = Vec::new();
    for step in 0u16..200 {
        let which = (step % 8) as u8;
        let qty = 17 * step;
        // buys below and sells above 600,000 ticks, so that the book is not crossed
        let price = if which & 2 == 0 { step % 9_000 } else { 11_000 + step % 8_000 };
        asks.push((0, step as u8, which, price, qty));
        if step % 5 == 0 {
            asks.push((3, 0, 0, step, step / 2));
            asks.push((12, 0, (step % 2) as u8, 10_000 + step, 0));
        }
    }
    asks
}

/// Books, trades and candles: what is asked, and the shape of the answer.
fn trading() -> Vec<(String, Value)> {
    let symbol = "symbol=BTCUSDT";
    let candle = json!([[
        "int", "string", "string", "string", "string", "string", "int", "string", "int", "string",
        "string", "string"
    ]]);
    let trade = json!([{"id":"int","price":"string","qty":"string","quoteQty":"string",
        "time":"int","isBuyerMaker":"bool","isRPITrade":"bool"}]);
    let depth = json!({"lastUpdateId":"int","E":"int","T":"int",
        "bids":[["string"]],"asks":[["string"]]});
    vec![
        ("/fapi/v1/time".to_owned(), json!({"serverTime":"int"})),
        ("/sapi/v1/system/status".to_owned(), json!({"status":"int","msg":"string"})),
        (format!("/fapi/v1/depth?{symbol}&limit=1000"), depth.clone()),
        (format!("/fapi/v1/rpiDepth?{symbol}&limit=5"), depth),
        (format!("/fapi/v1/trades?{symbol}"), trade.clone()),
        (format!("/fapi/v1/historicalTrades?{symbol}"), trade.clone()),
        (format!("/fapi/v1/historicalTrades?{symbol}&fromId=1"), trade),
        (
            format!("/fapi/v1/aggTrades?{symbol}"),
            json!([{"a":"int","p":"string","q":"string","nq":"string","f":"int","l":"int",
                "T":"int","m":"bool"}]),
        ),
        (format!("/fapi/v1/klines?{symbol}&interval=1M&startTime=0"), candle.clone()),
        (
            "/fapi/v1/continuousKlines?pair=BTCUSDT&contractType=PERPETUAL&interval=1M&startTime=0"
                .to_owned(),
            candle.clone(),
        ),
        (format!("/fapi/v1/markPriceKlines?{symbol}&interval=1M&startTime=0"), candle.clone()),
        (
            "/fapi/v1/indexPriceKlines?pair=BTCUSDT&interval=1M&startTime=0".to_owned(),
            candle.clone(),
        ),
        (format!("/fapi/v1/premiumIndexKlines?{symbol}&interval=1M&startTime=0"), candle),
    ]
}

/// Prices, tickers and statistics.
fn figures() -> Vec<(String, Value)> {
    let symbol = "symbol=BTCUSDT";
    let price = json!({"symbol":"string","price":"string","time":"int"});
    let book = json!({"symbol":"string","bidPrice":"string","bidQty":"string",
        "askPrice":"string","askQty":"string","time":"int","lastUpdateId":"int"});
    let premium = json!({"symbol":"string","markPrice":"string","indexPrice":"string",
        "estimatedSettlePrice":"string","lastFundingRate":"string","interestRate":"string",
        "nextFundingTime":"int","time":"int"});
    let day = json!({"symbol":"string","priceChange":"string","priceChangePercent":"string",
        "weightedAvgPrice":"string","lastPrice":"string","lastQty":"string","openPrice":"string",
        "highPrice":"string","lowPrice":"string","volume":"string","quoteVolume":"string",
        "openTime":"int","closeTime":"int","firstId":"int","lastId":"int","count":"int"});
    vec![
        (format!("/fapi/v1/premiumIndex?{symbol}"), premium.clone()),
        ("/fapi/v1/premiumIndex".to_owned(), json!([premium])),
        (format!("/fapi/v1/ticker/24hr?{symbol}"), day.clone()),
        ("/fapi/v1/ticker/24hr".to_owned(), json!([day])),
        (format!("/fapi/v1/ticker/bookTicker?{symbol}"), book.clone()),
        ("/fapi/v1/ticker/bookTicker".to_owned(), json!([book])),
        (format!("/fapi/v1/ticker/price?{symbol}"), price.clone()),
        (format!("/fapi/v2/ticker/price?{symbol}"), price.clone()),
        ("/fapi/v2/ticker/price".to_owned(), json!([price])),
        (
            "/fapi/v1/fundingInfo".to_owned(),
            json!([{"symbol":"string","adjustedFundingRateCap":"string",
                "adjustedFundingRateFloor":"string","fundingIntervalHours":"int",
                "disclaimer":"bool"}]),
        ),
        (
            format!("/fapi/v1/openInterest?{symbol}"),
            json!({"openInterest":"string","symbol":"string","time":"int"}),
        ),
        (
            format!("/fapi/v1/constituents?{symbol}"),
            json!({"symbol":"string","time":"int","constituents":[{"exchange":"string",
                "symbol":"string","price":"string","weight":"string"}]}),
        ),
        (
            format!("/futures/data/openInterestHist?{symbol}&period=1d&startTime=0"),
            json!([{"symbol":"string","sumOpenInterest":"string","sumOpenInterestValue":"string",
                "CMCCirculatingSupply":"string","timestamp":"int"}]),
        ),
        (
            format!("/futures/data/takerlongshortRatio?{symbol}&period=1d&startTime=0"),
            json!([{"buySellRatio":"string","buyVol":"string","sellVol":"string",
                "timestamp":"int"}]),
        ),
        (
            "/futures/data/basis?pair=BTCUSDT&contractType=PERPETUAL&period=1d&startTime=0"
                .to_owned(),
            json!([{"indexPrice":"string","contractType":"string","basisRate":"string",
                "futuresPrice":"string","annualizedBasisRate":"string","basis":"string",
                "pair":"string","timestamp":"int"}]),
        ),
    ]
}

#[tokio::test]
async fn answers_have_the_shapes_that_clients_read() {
    let mut stage = Stage::open().await;
    stage.play(&some_trading());
    for (path, template) in trading().into_iter().chain(figures()) {
        let request = reqwest::Client::new().get(stage.url(&path)).header("X-MBX-APIKEY", KEY);
        let (status, body) = stage.send(request).await;
        assert_eq!(status, 200, "{path}: {body}");
        check_shape(&body, &template, &path);
    }
    for path in ["/fapi/v1/ping", "/api/v3/ping"] {
        assert_eq!(stage.get(path).await, (200, json!({})));
    }
    for path in [
        "/fapi/v1/fundingRate?symbol=BTCUSDT",
        "/sapi/v1/capital/config/getall",
        "/futures/data/delivery-price?pair=BTCUSDT",
    ] {
        assert_eq!(stage.get(path).await, (200, json!([])), "{path}");
    }
}

/// The insurance fund is no account of anybody, but what it holds is for all to see.
#[tokio::test]
async fn the_insurance_fund_shows_what_it_has() {
    let mut stage = Stage::open().await;
    let fund = json!({"symbols":["string"],
        "assets":[{"asset":"string","marginBalance":"string","updateTime":"int"}]});
    let risk = json!({"symbol":"string","adlRisk":"string","updateTime":"int"});
    let (_, before) = stage.get("/fapi/v1/symbolAdlRisk?symbol=ETHUSDT").await;
    check_shape(&before, &risk, "symbolAdlRisk");
    assert_eq!(before["adlRisk"], "low", "nobody holds anything");
    // an account owes 0.40, which the fund advances, and pays 0.20 back
    stage.play(&[(21, 0, 0, 0, 40_000)]);
    let (_, one) = stage.get("/fapi/v1/insuranceBalance?symbol=BTCUSDT").await;
    check_shape(&one, &fund, "insuranceBalance");
    assert_eq!(one["symbols"], json!(["BTCUSDT", "ETHUSDT"]));
    assert_eq!(one["assets"][0]["marginBalance"], json!("-0.20000000"));
    assert_eq!(stage.get("/fapi/v1/insuranceBalance").await, (200, json!([one])));
    let (_, risks) = stage.get("/fapi/v1/symbolAdlRisk").await;
    check_shape(&risks, &json!([risk]), "symbolAdlRisk");
    assert_eq!(risks[0]["adlRisk"], "high", "a fund that owes carries nothing");
    for path in ["/fapi/v1/insuranceBalance", "/fapi/v1/symbolAdlRisk"] {
        let (status, refused) = stage.get(&format!("{path}?symbol=NOPE")).await;
        assert_eq!((status, &refused["code"]), (400, &json!(-1121)));
    }
}

/// Five fundings, of two symbols in turns: memory and store give them once, in their order.
#[tokio::test]
async fn fundings_are_listed_wherever_they_are() {
    let mut stage = Stage::open().await;
    stage.play(&some_trading());
    let fundings = [(0, 30_000), (1, 20_001), (0, 0), (1, 65_000), (0, 20_000)];
    stage.play(&fundings.map(|(which, a)| (19, 0, which, a, 0)));
    let writer = stage.app.store.start_writer(&[]);
    for stored in [0, 3, 5] {
        // those up to here are in the store as well
        let mut effects = Effects::default();
        let mut views = Views::default();
        let all = stage.events();
        let ends = all.iter().zip(1..).filter(|(said, _)| matches!(said.2, Event::FundingEnded(_)));
        let upto = ends.map(|(_, end)| end + 1).nth(stored).unwrap_or(all.len());
        all[..upto].iter().for_each(|(shard, header, event)| {
            views.apply(*shard, header, event, &mut effects);
        });
        stage.app.store.push(effects.rows);
        while stage.app.store.status().queued_rows > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        let (_, all) = stage.get("/fapi/v1/fundingRate").await;
        let all = all.as_array().unwrap();
        let rates: Vec<_> = all.iter().map(|row| row["fundingRate"].as_str().unwrap()).collect();
        assert_eq!(rates, ["0.00010000", "0.00000001", "-0.00020000", "0.00045000", "0.00000000"]);
        assert_eq!(
            (&all[1]["symbol"], &all[1]["markPrice"]),
            (&json!("ETHUSDT"), &json!("60000.00000000"))
        );
        let time = |row: usize| all[row]["fundingTime"].as_i64().unwrap();
        assert!((1..5).all(|row| time(row) - time(row - 1) == 3_600_000));
        for (query, expected) in [
            ("symbol=ETHUSDT".to_owned(), vec![1, 3]),
            ("symbol=BTCUSDT&limit=2".to_owned(), vec![2, 4]),
            (format!("symbol=BTCUSDT&limit=2&startTime={}", time(0)), vec![0, 2]),
            (format!("startTime={}&endTime={}", time(1), time(3)), vec![1, 2, 3]),
            (format!("endTime={}&limit=1", time(3)), vec![3]),
        ] {
            let (_, some) = stage.get(&format!("/fapi/v1/fundingRate?{query}")).await;
            let expected: Vec<_> = expected.into_iter().map(|row| all[row].clone()).collect();
            assert_eq!(some, json!(expected), "{query}");
        }
    }
    drop(writer);
    let (_, premium) = stage.get("/fapi/v1/premiumIndex?symbol=BTCUSDT").await;
    assert_eq!(premium["interestRate"], "0.00010000");
}

#[tokio::test]
async fn exchange_info_has_every_field() {
    let stage = Stage::open().await;
    let (status, info) = stage.get("/fapi/v1/exchangeInfo").await;
    assert_eq!(status, 200);
    let template = json!({"timezone":"string","serverTime":"int","futuresType":"string",
        "rateLimits":[{"rateLimitType":"string","interval":"string","intervalNum":"int",
            "limit":"int"}],
        "assets":[{"asset":"string","marginAvailable":"bool","autoAssetExchange":"string"}],
        "symbols":[{"symbol":"string","pair":"string","contractType":"string",
            "deliveryDate":"int","onboardDate":"int","status":"string",
            "maintMarginPercent":"string","requiredMarginPercent":"string","baseAsset":"string",
            "quoteAsset":"string","marginAsset":"string","pricePrecision":"int",
            "quantityPrecision":"int","baseAssetPrecision":"int","quotePrecision":"int",
            "underlyingType":"string","settlePlan":"int","triggerProtect":"string",
            "liquidationFee":"string","marketTakeBound":"string","maxMoveOrderLimit":"int",
            "filters":[{"filterType":"string"}],"orderTypes":["string"],
            "timeInForce":["string"]}]});
    check_shape(&info, &template, "exchangeInfo");
    assert_eq!(info["exchangeFilters"], json!([]));
    let symbol = &info["symbols"][0];
    assert_eq!(symbol["underlyingSubType"], json!([]));
    assert_eq!(symbol["symbol"], "BTCUSDT");
    let order_types = [
        "LIMIT",
        "MARKET",
        "STOP",
        "STOP_MARKET",
        "TAKE_PROFIT",
        "TAKE_PROFIT_MARKET",
        "TRAILING_STOP_MARKET",
    ];
    assert_eq!(symbol["orderTypes"], json!(order_types));
    assert_eq!(symbol["maintMarginPercent"], "0.4000");
    assert_eq!(symbol["requiredMarginPercent"], "0.8000");
    let filters = json!([
        {"filterType":"PRICE_FILTER","minPrice":"0.10","maxPrice":"1000000.00","tickSize":"0.10"},
        {"filterType":"LOT_SIZE","minQty":"0.001","maxQty":"1000.000","stepSize":"0.001"},
        {"filterType":"MARKET_LOT_SIZE","minQty":"0.001","maxQty":"120.000","stepSize":"0.001"},
        {"filterType":"MAX_NUM_ORDERS","limit":200},
        {"filterType":"MIN_NOTIONAL","notional":"50"},
        {"filterType":"PERCENT_PRICE","multiplierUp":"1.0500","multiplierDown":"0.9500",
            "multiplierDecimal":"4"}
    ]);
    assert_eq!(symbol["filters"], filters);
    assert!(!symbol["timeInForce"].as_array().unwrap().contains(&json!("RPI")));
}

#[tokio::test]
async fn bad_questions_have_their_codes() {
    let stage = Stage::open().await;
    for (path, code) in [
        ("/fapi/v1/depth", -1102),
        ("/fapi/v1/depth?symbol=NOPE", -1121),
        ("/fapi/v1/depth?symbol=BTCUSDT&limit=7", -4021),
        ("/fapi/v1/depth?symbol=BTCUSDT&limit=x", -1102),
        ("/fapi/v1/trades?symbol=BTCUSDT&limit=1001", -1130),
        ("/fapi/v1/trades?symbol=BTCUSDT&limit=0", -1130),
        ("/fapi/v1/klines?symbol=BTCUSDT", -1102),
        ("/fapi/v1/klines?symbol=BTCUSDT&interval=7m", -1120),
        ("/fapi/v1/klines?symbol=BTCUSDT&interval=1m&startTime=2&endTime=1", -1023),
        ("/fapi/v1/klines?symbol=BTCUSDT&interval=1m&startTime=-1", -1130),
        ("/fapi/v1/klines?symbol=BTCUSDT&interval=1m&endTime=9223372036854775807", -1130),
        ("/fapi/v1/klines?symbol=BTCUSDT&interval=1m&limit=1501", -1130),
        ("/fapi/v1/aggTrades?symbol=BTCUSDT&startTime=0&endTime=3600001", -1127),
        ("/fapi/v1/aggTrades?symbol=BTCUSDT&fromId=1&startTime=0", -1128),
        ("/fapi/v1/aggTrades?symbol=BTCUSDT&fromId=-1", -1130),
        ("/fapi/v1/continuousKlines?pair=BTCUSDT&contractType=CURRENT_QUARTER&interval=1m", -1130),
        ("/fapi/v1/ticker/24hr?symbol=%F0%9F%92%A9", -1121),
        ("/futures/data/openInterestHist?symbol=BTCUSDT&period=1m", -1130),
    ] {
        let (status, body) = stage.get(path).await;
        assert_eq!((status, &body["code"]), (400, &json!(code)), "{path}: {body}");
        assert!(body["msg"].as_str().is_some_and(|msg| !msg.is_empty()), "{path}: {body}");
    }
    let (status, body) = stage.get("/fapi/v1/historicalTrades?symbol=BTCUSDT").await;
    assert_eq!((status, &body["code"]), (401, &json!(-2014)));
}

#[tokio::test]
async fn figures_agree_with_each_other() {
    let mut stage = Stage::open().await;
    stage.play(&some_trading());
    let (_, trades) = stage.get("/fapi/v1/trades?symbol=BTCUSDT&limit=1000").await;
    let (_, all) = stage.get("/fapi/v1/aggTrades?symbol=BTCUSDT&limit=1000").await;
    let (_, from) = stage.get("/fapi/v1/aggTrades?symbol=BTCUSDT&fromId=0&limit=1000").await;
    assert_eq!(all, from);
    let sum = |rows: &Value, field: &str| -> i64 {
        let lots = |row: &Value| protocol::decimal::parse(row[field].as_str().unwrap(), 3).unwrap();
        rows.as_array().unwrap().iter().map(lots).sum()
    };
    assert_eq!(sum(&trades, "qty"), sum(&all, "q"));
    let (_, candles) =
        stage.get("/fapi/v1/klines?symbol=BTCUSDT&interval=1d&startTime=0&limit=1500").await;
    let volume: i64 = candles
        .as_array()
        .unwrap()
        .iter()
        .map(|row| protocol::decimal::parse(row[5].as_str().unwrap(), 3).unwrap())
        .sum();
    assert_eq!(volume, sum(&trades, "qty"));
    let (_, book) = stage.get("/fapi/v1/depth?symbol=BTCUSDT&limit=5").await;
    let (_, best) = stage.get("/fapi/v1/ticker/bookTicker?symbol=btcusdt").await;
    assert_eq!(book["bids"][0], json!([best["bidPrice"], best["bidQty"]]));
    assert_eq!(book["asks"][0], json!([best["askPrice"], best["askQty"]]));
    assert_eq!(book["lastUpdateId"], best["lastUpdateId"]);
}
