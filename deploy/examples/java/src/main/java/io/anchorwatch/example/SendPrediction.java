package io.anchorwatch.example;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.util.HashMap;
import java.util.Map;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringSerializer;

/** Sends one prediction, and what really happened, to Anchorwatch. */
public final class SendPrediction {
    public static void main(String[] arguments) throws Exception {
        var json = new ObjectMapper();
        long now = System.currentTimeMillis();

        var features = new HashMap<String, Object>(); // a HashMap, because a feature may be null
        features.put("temp", 39.0);
        features.put("carrier", "UA");
        features.put("wind_gust", null);
        var prediction = Map.of(
                "id", "r2",
                "model", "flights",
                "version", "1.0.0",
                "ts", now,
                "features", features,
                "prediction", Map.of("label", "late", "score", 0.61),
                "latency_ms", 5.2,
                "segment", Map.of("origin", "JFK"));
        var feedback = Map.of("id", "r2", "model", "flights", "label", "on_time", "ts", now);

        Map<String, Object> properties = Map.of("bootstrap.servers", arguments[0], "delivery.timeout.ms", 10_000,
                "request.timeout.ms", 5_000, "max.block.ms", 10_000);
        try (var producer = new KafkaProducer<>(properties, new StringSerializer(), new StringSerializer())) {
            producer.send(new ProducerRecord<>("predictions", "r2", json.writeValueAsString(prediction))).get();
            producer.send(new ProducerRecord<>("feedback", "r2", json.writeValueAsString(feedback))).get();
        }
    }
}
